"""People as skeletons: joints of videos and of skeleton files, and the features of what they do."""
