"""How a call proceeds, told once for both colours: generators that yield effects, and two drivers."""
