"""Qwen Code's chats on disk."""
