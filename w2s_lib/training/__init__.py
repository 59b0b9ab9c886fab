"""Labels, losses and trainers: from a spec to scores."""
