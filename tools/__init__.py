"""What the house is built with; none of it is part of the package."""
