"""Mergeable states: update / merge / compute / to_bytes. What a call, a stream and a cluster share."""
