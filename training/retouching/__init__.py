"""What a generator can learn from its own pictures, without photos: pictures as they should be, and how far
others are from these. `lesson` has it all; each other module one thing that is put right in a picture."""
