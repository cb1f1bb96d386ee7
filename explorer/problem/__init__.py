"""What is asked: designs as columns, spaces, operating points, objectives, constraints, studies."""
