"""Embeddings of tokens for the tasks that use Flair."""
