"""rsuda: segmentation of aerial and satellite imagery with unsupervised domain adaptation."""

__version__ = "0.1.0"
