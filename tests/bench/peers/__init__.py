"""Other ways to do the small job, each as good as its makers would write it."""
