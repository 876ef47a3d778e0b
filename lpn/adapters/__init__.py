"""Learned proximal networks in other packages, and what those offer as operators here. Each module needs its package."""
