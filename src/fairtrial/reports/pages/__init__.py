"""What the pages of the dashboard show: from the answers of the service to text and points, written out here and nowhere else."""
