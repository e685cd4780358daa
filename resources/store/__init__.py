"""Files: blobs in a folder or a bucket, and the manifests that name them."""
