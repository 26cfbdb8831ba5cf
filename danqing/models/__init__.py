"""The networks, one concept a file.

Shapes: B batch, C channels, H W pixels or grid, N grid positions, L word pieces, D width.
"""
