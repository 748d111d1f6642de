"""What a run will take: pure arithmetic over settings and measured rates."""
