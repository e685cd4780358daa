"""What lives outside the process: blobs, the ledger, product and observation stores, the catalogue.

What does not belong here: any judgement about content, and any forecasting.
"""
