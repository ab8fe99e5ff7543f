"""Amazon EC2: VPCs, and who reaches whom."""
