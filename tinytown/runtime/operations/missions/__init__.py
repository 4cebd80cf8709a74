"""Missions: start, show, explain, steer. Work on them is the scheduler's; here a person says what shall be."""
