"""What each chapter finds, as rows of one tidy frame; and the verdicts read off them."""
