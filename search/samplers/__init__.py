"""Samplers: methods that propose cells and are told their scores, one file for each sampler."""
