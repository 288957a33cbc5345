"""Demos: a published set-up that anybody with its address may use."""
