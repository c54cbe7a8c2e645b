-- One row per decision. A file in sql/ is a step of its name; the tables it names are its inputs.
select order_id, amount, items, account_days, failed_payments, hour, other_address, express, fraud
from orders
