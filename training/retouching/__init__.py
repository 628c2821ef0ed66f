"""What a generator can learn from its own pictures, without photos: pictures as they should be, and how far
others are from these. `lesson` has it all; each module with a `retouched`, one thing that is put right."""
