"""CDKTF constructs, one folder a cloud. They know resources and rules, never specs or plans' reasons."""
