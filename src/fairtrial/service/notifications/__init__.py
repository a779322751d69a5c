"""What people are told: alerts, and their way through the outbox to e-mail, chat or a webhook."""
