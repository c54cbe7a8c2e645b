"""Writes data/customers.csv: 8,000 made-up subscribers, the same ones every time. Replace it with your own data."""

import csv
import math
import random
from pathlib import Path

DATA = Path(__file__).parent / "data"


def customers():
    rng = random.Random(20261123)
    for number in range(1, 8001):
        tenure = rng.randrange(1, 120)
        calls = min(int(rng.expovariate(0.6)), 12)
        late = min(int(rng.expovariate(1.1)), 8)
        value = round(rng.lognormvariate(4.6, 0.6), 2)
        chance = 1 / (1 + math.exp(3.4 - 0.35 * calls - 0.7 * late + 0.012 * tenure))
        yield [number, tenure, calls, late, value, "true" if rng.random() < chance else "false"]


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    with open(DATA / "customers.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["customer_id", "tenure", "calls_to_support", "late_payments", "lifetime_value", "churned"])
        writer.writerows(customers())
    print("8,000 subscribers: data/customers.csv")
