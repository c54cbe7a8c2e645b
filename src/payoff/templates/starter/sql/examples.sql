-- One row per decision. A file in sql/ is a step of its name; the tables it names are its inputs.
select customer_id, tenure, calls_to_support, late_payments, lifetime_value, churned
from customers
