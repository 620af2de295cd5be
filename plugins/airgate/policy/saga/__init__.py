"""What a saga decides, without Airflow and without a network: programs that yield what they want done."""
