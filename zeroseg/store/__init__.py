"""Shards as bytes: files, URLs, tar members, manifests."""
