"""What is going on, in one answer: for the first page of the dashboard, from what is stored already."""
