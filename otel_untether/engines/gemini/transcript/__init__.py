"""Gemini CLI's chats on disk."""
