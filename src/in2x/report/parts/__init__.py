"""The parts of the page: each module turns the stages it tells of into markup."""
