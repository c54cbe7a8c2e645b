"""Writes data/machines.csv: 12,000 made-up weeks of machines in a plant, the same ones every time. Replace it with your own data."""

import csv
import math
import random
from pathlib import Path

DATA = Path(__file__).parent / "data"


def weeks():
    rng = random.Random(20261127)
    for number in range(1, 12001):
        days = rng.randrange(1, 181)
        age = round(rng.uniform(0.2, 15), 1)
        load = round(min(1.0, max(0.05, rng.gauss(0.6, 0.2))), 3)
        heat = round(rng.gauss(55 + 25 * load, 6), 1)
        shake = round(rng.lognormvariate(0.3 + 0.02 * age, 0.35), 3)
        cost = round(rng.lognormvariate(7.6, 0.5), 2)
        # A hot machine is as good as a cold one while it is new or was serviced lately; no straight line finds that.
        pull = -4.0 + 0.9 * max(0.0, shake - 1.6) + 2.4 * (heat > 78 and days > 75) + 1.6 * (age > 9 and load > 0.75) + 0.006 * days
        fails = rng.random() < 1 / (1 + math.exp(-pull))
        yield [number, days, age, load, heat, shake, cost, "true" if fails else "false"]


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    with open(DATA / "machines.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["week_id", "days_since_service", "age", "load", "temperature", "vibration", "failure_cost", "fails"])
        writer.writerows(weeks())
    print("12,000 weeks of machines: data/machines.csv")
