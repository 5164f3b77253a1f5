"""Refresh of prices from the clouds' own interfaces, one folder per cloud. Nothing else in the product calls them.

May import `provider_catalog`, and the client library of its cloud: boto3, azure-mgmt-compute or urllib3.
"""
