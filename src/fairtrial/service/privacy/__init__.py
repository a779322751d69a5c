"""What people may ask of their data: to see it, to have it erased, and that it does not stay for ever."""
