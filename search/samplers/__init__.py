"""Samplers: methods that propose cells and are told what each is worth, one file a sampler."""
