"""Campaigns: templates, streams, links, clusters, coordination, intent, decision, explanation."""
