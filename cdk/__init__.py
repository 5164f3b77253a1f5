"""CDKTF constructs, one folder for each cloud. They know resources and their rules, but neither specs nor plans.

May import provider_catalog, cdktf and the provider bindings. The folders of clouds do not import each other.
"""
