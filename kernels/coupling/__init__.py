"""Inverses of affine coupling flows: what sampling from INN and cINN takes."""
