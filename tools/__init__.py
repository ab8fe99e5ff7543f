"""For people: documents, figures, a watch on rollouts, policies held against what was needed."""

import local  # noqa: F401  puts the layer on the path
