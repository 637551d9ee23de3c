"""Where bytes live: in this process (L1) and in Redis (L2). Tiers know keys, bytes and TTLs, no policies."""
