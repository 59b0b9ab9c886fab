"""What happens to machines and what people feed them: faults that are caused on purpose, and what must be left."""
