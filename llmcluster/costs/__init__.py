"""Commands about money: the bill, how nodes are bought, what a change costs, owning against renting."""
