"""The command line: from a model and a workload to reviewed Terraform and a bill.

May import every other package of this project. No other package imports it.
"""
