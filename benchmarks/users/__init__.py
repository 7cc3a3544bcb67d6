"""Systems as users write them, one file each: ``system()`` makes one. The project knows nothing of them."""
