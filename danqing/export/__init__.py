"""From trained networks to a package that needs neither torch nor training code."""
