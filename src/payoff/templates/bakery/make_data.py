"""Writes data/demand.csv: what twelve shops of a bakery were asked for. The shops are made up; the seed makes them the same everywhere.

Weekends, rain, heat and holidays move the demand, as bakeries know. Run it again at any time: uv run python make_data.py
"""

import csv
import datetime as dt
import math
import random
from collections import deque
from pathlib import Path

DATA = Path(__file__).parent / "data"
FIRST, DAYS, SHOPS = dt.date(2024, 1, 1), 912, 12
WEEKDAY = (0.85, 0.85, 0.95, 1.0, 1.15, 1.4)  # Monday to Saturday
COLUMNS = ("day_id", "shop", "day", "weekday", "temperature", "rain", "holiday_tomorrow", "average", "same_weekday", "asked_for")


def poisson(mean, chance):
    """A number of customers (Knuth's method, in pieces small enough for it)."""
    total = 0
    while mean > 0:
        part = min(mean, 30.0)
        mean -= part
        product, bound = chance.random(), math.exp(-part)
        while product > bound:
            total += 1
            product *= chance.random()
    return total


def days(chance):
    """What every day is like: its weather, and whether the next one is a holiday."""
    for number in range(DAYS):
        day = FIRST + dt.timedelta(number)
        if day.weekday() == 6:
            continue
        season = math.sin(2 * math.pi * (number - 105) / 365.25)
        yield day, round(11 + 10 * season + chance.gauss(0, 4), 1), chance.random() < 0.3, chance.random() < 0.04


def rows():
    chance = random.Random(2024)
    size = [chance.uniform(30, 90) for _ in range(SHOPS)]
    seen = [deque(maxlen=24) for _ in range(SHOPS)]
    number = 0
    for day, temperature, rain, holiday in days(chance):
        mood = chance.gauss(1, 0.05)
        for shop in range(SHOPS):
            past = seen[shop]
            alike = [each for at, each in past if at == day.weekday()]
            mean = size[shop] * WEEKDAY[day.weekday()] * mood * (1 - 0.012 * (temperature - 11))
            mean *= (0.8 if rain else 1.05) * (1.45 if holiday else 1.0)
            asked = poisson(mean, chance)
            if len(past) == past.maxlen:
                average = round(sum(each for _, each in past) / len(past), 1)
                yield (
                    number, shop, day.isoformat(), day.weekday(), temperature, int(rain), int(holiday), average,
                    round(sum(alike) / len(alike), 1), asked,
                )
                number += 1
            past.append((day.weekday(), asked))


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    made = list(rows())
    with open(DATA / "demand.csv", "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *made])
    print(f"{len(made):,} days of {SHOPS} shops: data/demand.csv")
