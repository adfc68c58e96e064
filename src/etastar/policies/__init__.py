"""What sets the learning rate while a lane trains: pure functions that know nothing of networks."""
