"""Where the ranks of a layout live: which group stays inside NVLink, which one crosses the network, and over what."""
