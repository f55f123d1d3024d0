"""People who act: everyday and exercise motions as skeletons, real ones beside them, and the plan that knows them."""
