"""Language models: pretrained here or elsewhere, what they make of a text."""
