"""The reward of method section 4: gates first, then named components, then one weighted sum per group."""
