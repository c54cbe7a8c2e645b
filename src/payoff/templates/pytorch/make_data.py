"""Writes data/orders.csv: 12,000 made-up orders of a web shop, the same ones every time. Replace it with your own data."""

import csv
import math
import random
from pathlib import Path

DATA = Path(__file__).parent / "data"


def orders():
    rng = random.Random(20261126)
    for number in range(1, 12001):
        amount = round(rng.lognormvariate(4.0, 0.8), 2)
        items = min(1 + int(rng.expovariate(0.7)), 20)
        account_days = int(rng.expovariate(1 / 400))
        failed = min(int(rng.expovariate(1.6)), 6)
        hour = rng.randrange(24)
        other = rng.random() < 0.22
        express = rng.random() < 0.3
        # Neither a young account nor another address says much; together, and at night, they do. No straight line finds that.
        pull = -4.9 + 0.5 * failed + 0.004 * min(amount, 400)
        pull += 3.8 * (other and account_days < 150) + 2.2 * (hour < 6 and express) - 0.6 * (items > 4)
        fraud = rng.random() < 1 / (1 + math.exp(-pull))
        yield [number, amount, items, account_days, failed, hour, int(other), int(express), "true" if fraud else "false"]


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    with open(DATA / "orders.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            ["order_id", "amount", "items", "account_days", "failed_payments", "hour", "other_address", "express", "fraud"]
        )
        writer.writerows(orders())
    print("12,000 orders: data/orders.csv")
